"""Two processes share one class prior and one teacher, though they see different images."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

from ptseg_d2.modeling.teachers.semantic_teacher import SemanticMomentumTeacher

import pytest
import torch
import torch.distributed as dist
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from tiny import small
from torch import multiprocessing
from torch.nn.parallel import DistributedDataParallel

NUM_PROCESSES = 2


def images_of(rank: int) -> list[dict[str, Any]]:
    """One source and one target image, other ones in each process."""
    generator = torch.Generator().manual_seed(rank)

    def image(*shape: int) -> torch.Tensor:
        return torch.randint(0, 256, (*shape, 32, 64), dtype=torch.uint8, generator=generator)

    identity = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0]]])
    target = {"student_views": image(1, 3), "teacher_views": image(1, 3), "thetas": identity, "domain": "target"}
    labels = torch.randint(0, 4, (32, 64), generator=generator)
    return [{"image": image(3), "sem_seg": labels, "domain": "source"}, target]


def build() -> SemanticMomentumTeacher:
    torch.manual_seed(0)
    overrides = ("MODEL.SELF_TRAINING.BN_STATS", "target", "MODEL.SELF_TRAINING.CLASS_MIX", "False")
    model = build_model(small("semantic_selftrain.yaml", *overrides, "MODEL.SELF_TRAINING.RAMP_ITERS", "0"))
    assert isinstance(model, SemanticMomentumTeacher)
    return model.train()


def one_process(rank: int, folder: str) -> None:
    """A training step as Detectron2 does it; leaves the model's state in the folder."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=NUM_PROCESSES)
    model = build()
    parallel = DistributedDataParallel(model, broadcast_buffers=False)
    optimizer = torch.optim.SGD(model.student.parameters(), lr=0.1)
    with EventStorage():
        losses = parallel(images_of(rank))
        sum(losses.values()).backward()
    optimizer.step()
    model.update_teacher_(0.5)
    torch.save(model.state_dict(), os.path.join(folder, f"{rank}.pth"))
    # Else the wrapper would be the last to hold the group, and end it under the lock of the interpreter, for which a
    # thread of the group may be waiting.
    del parallel, losses
    gc.collect()
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="torch was built without distributed")
def test_prior_and_teacher_are_the_same_in_every_process(tmp_path: Path) -> None:
    multiprocessing.spawn(one_process, (str(tmp_path),), nprocs=NUM_PROCESSES)
    first, second = (torch.load(tmp_path / f"{rank}.pth") for rank in range(NUM_PROCESSES))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    # The prior is the mean of what two separate runs, which see one image each, would have.
    separate = []
    for rank in range(NUM_PROCESSES):
        alone = build()
        with EventStorage():
            alone(images_of(rank))
        separate.append(alone.labeler.class_prior)
    assert not torch.allclose(separate[0], separate[1])
    assert torch.allclose(first["labeler.class_prior"], (separate[0] + separate[1]) / 2, atol=1e-6)
