"""What semantic and instance embeddings do to each other."""

from __future__ import annotations

from ptseg_d2.modeling.einet.embedding_interaction import FIRST_SHARPNESS, EmbeddingInteraction, Modulation
from ptseg_d2.modeling.einet.semantic_dictionary import SemanticDictionary

import torch
from torch import Tensor, nn, tensor


def build() -> EmbeddingInteraction:
    torch.manual_seed(0)
    return EmbeddingInteraction(4, 3, SemanticDictionary(5, 4, 0.9))


def embeddings() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 4, (2, 6, 8), generator=generator)
    return torch.randn(2, 4, 6, 8, generator=generator), torch.randn(2, 3, 6, 8, generator=generator), labels


def test_modulation_by_hand() -> None:
    """Scale 2 g and shift 3 g: 5 (1 + 2 * 2) + 3 * 2 = 31."""
    modulation = Modulation(1, 1)
    modulation.linear.weight.data[:, 0, 0, 0] = tensor([2.0, 3.0])
    assert modulation(tensor(5.0).view(1, 1, 1, 1), tensor(2.0).view(1, 1, 1, 1)).item() == 31


def test_begins_as_the_identity_with_the_dictionary_as_evidence() -> None:
    interaction = build().train()
    semantic, instance, labels = embeddings()
    found = interaction(semantic, instance, labels)
    assert torch.equal(found.semantic, semantic) and torch.equal(found.instance, instance)
    similarity = interaction.dictionary.similarity(semantic)
    torch.testing.assert_close(found.class_evidence, FIRST_SHARPNESS * similarity)
    assert not found.class_evidence[:, 4].any()  # never seen


def test_the_dictionary_learns_in_training_with_labels_only() -> None:
    interaction = build()
    semantic, instance, labels = embeddings()
    for training, given in ((False, labels), (True, None)):
        interaction.train(training)(semantic, instance, given)
        assert not interaction.dictionary.seen.any()
    interaction.train()(semantic, instance, labels)
    assert interaction.dictionary.seen.tolist() == [True] * 4 + [False]
    torch.testing.assert_close(interaction.dictionary.centers[2], semantic.permute(0, 2, 3, 1)[labels == 2].mean(0))


def test_each_embedding_reaches_the_other() -> None:
    """Where nothing was modulated yet, both directions still get a gradient; then both outputs see both inputs."""
    interaction = build().train()
    interaction(*embeddings())
    for modulation in (interaction.to_semantic, interaction.to_instance):
        nn.init.normal_(modulation.linear.weight)
    semantic, instance, labels = (x.requires_grad_() if x.is_floating_point() else x for x in embeddings())
    for output in (0, 1, 2):
        found = interaction(semantic, instance, labels)[output]
        gradients = torch.autograd.grad(found.square().sum(), [semantic, instance])
        assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_all_void_is_finite() -> None:
    interaction = build().train()
    semantic, instance, labels = embeddings()
    semantic.requires_grad_()
    found = interaction(semantic, instance, torch.full_like(labels, 255))
    sum(x.sum() for x in found).backward()
    assert semantic.grad is not None and semantic.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in interaction.parameters())


def test_two_updates_before_one_backward() -> None:
    """As with accumulated gradients: the centres of the first pass are not those that its gradient needs."""
    interaction = build().train()
    nn.init.normal_(interaction.to_instance.linear.weight)
    semantic, instance, labels = embeddings()
    losses = [interaction(semantic.clone().requires_grad_(), instance, labels).instance.sum() for _ in range(2)]
    torch.stack(losses).sum().backward()
