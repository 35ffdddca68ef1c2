"""INPUT: what is done to images before a network sees them, and how often each is drawn."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_input_config(cfg: CfgNode) -> None:
    """Add the keys in place."""
    cfg.INPUT.CROP_SIZE = (128, 256)  # (height, width) of a training crop, in pixels
    # (height, width) at which PanopticUNet sees test images; its result comes back at their own size, in pixels;
    # () = as they are
    cfg.INPUT.TEST_SIZE = ()
    _add_source_geometry(cfg)
    _add_source_colors(cfg)
    _add_style(cfg)
    _add_source_sampling(cfg)
    _add_views(cfg)
    _add_noise(cfg)
    _add_target_sampling(cfg)
    _add_target_files(cfg)


def _add_source_geometry(cfg: CfgNode) -> None:
    # first stretch every source image to CROP_SIZE ([PanopticUNet]); SOURCE_SCALE is then relative to that
    cfg.INPUT.SOURCE_FIT = False
    cfg.INPUT.SOURCE_SCALE = (0.5, 2.0)  # range of the random size factor of source images, > 0
    cfg.INPUT.SOURCE_STRETCH = False  # height and width get a factor of SOURCE_SCALE each, in place of a common one
    cfg.INPUT.SOURCE_FLIP = 0.5  # probability of mirroring a source image, in [0, 1]
    cfg.INPUT.SOURCE_VERTICAL_FLIP = 0.0  # probability of turning a source image upside down, in [0, 1]
    cfg.INPUT.SOURCE_ROTATION = 0.0  # source images are turned by an angle from U(0, x), in degrees, in [0, 360]
    # what is seen beside a source image, always without a label: "grey", or "reflect", the image mirrored at its edge
    cfg.INPUT.SOURCE_BORDER = "grey"


def _add_source_colors(cfg: CfgNode) -> None:
    """SOURCE_CONTRAST, SOURCE_INVERT, SOURCE_DUOTONE leave no trace of how an image was made, before SOURCE_STYLE."""
    cfg.INPUT.SOURCE_JITTER = 0.5  # strength of brightness/contrast/saturation jitter, in [0, 1]; 0 = off
    cfg.INPUT.SOURCE_JITTER_PROBABILITY = 0.8  # share of the source images with colour jitter, in [0, 1]
    cfg.INPUT.SOURCE_GAMMA = 0.5  # gamma is drawn from exp(U[-x, x]), >= 0; 0 = off
    cfg.INPUT.SOURCE_GAMMA_PROBABILITY = 1.0  # share of the source images with another gamma, in [0, 1]
    cfg.INPUT.SOURCE_BLUR = (0.1, 1.5)  # range of the Gaussian sigma, in pixels
    cfg.INPUT.SOURCE_BLUR_PROBABILITY = 0.5  # share of the source images that are blurred, in [0, 1]
    cfg.INPUT.SOURCE_NOISE = 0.0  # largest standard deviation of Gaussian pixel noise, in grey levels (0-255)
    cfg.INPUT.SOURCE_CONTRAST = 0.0  # share of the source images whose values are spread over 0..255, in [0, 1]
    cfg.INPUT.SOURCE_INVERT = 0.0  # share of the source images that become their negative, in [0, 1]
    # share of the source images whose grey levels are drawn between two random colours, in [0, 1]
    cfg.INPUT.SOURCE_DUOTONE = 0.0


def _add_style(cfg: CfgNode) -> None:
    # restyle source images by a random target image, used by the stages that may see the target only:
    # "none", "statistics" (Lab mean and deviation), "colors" (the same of the lightness, and the colour that the target
    # has at each lightness) or "fda" (low-frequency amplitudes)
    cfg.INPUT.SOURCE_STYLE = "none"
    cfg.INPUT.STYLE_PROBABILITY = 0.5  # share of the source images that are restyled, in [0, 1]
    # half-width of the swapped amplitude window relative to the shorter side ([FDA]: .01, .05, .09), in (0, .5)
    cfg.INPUT.FDA_BETA = 0.01


def _add_source_sampling(cfg: CfgNode) -> None:
    # rare-class sampling ([DAFormer]: .01): a class is drawn with softmax((1 - share) / T), then an image with it;
    # >= 0; 0 = off
    cfg.INPUT.RARE_CLASS_TEMPERATURE = 0.0
    # part of an image's labelled pixels that a class must cover to be drawn for it ([DAFormer]: 3000 px of 1914x1052),
    # in [0, 1]
    cfg.INPUT.RARE_CLASS_MIN_AREA = 0.0015
    # part of the crop that must show the class, or the crop is drawn again, in [0, 1]
    cfg.INPUT.RARE_CLASS_MIN_SHARE = 0.005
    cfg.INPUT.RARE_CLASS_CROPS = 10  # crops that are drawn at most for that, >= 1
    # rare-class and importance sampling look at the things only; a run of one group always at those of the group
    cfg.INPUT.DRAW_THINGS = False


def _add_views(cfg: CfgNode) -> None:
    cfg.INPUT.TARGET_PRE_SCALE = (1.0, 1.1)  # size factor of the canvas that all views of an image share ([SAC]), >= 1
    cfg.INPUT.TARGET_CANVAS_FLIP = 0.5  # probability of flipping the canvas, before views are cut out of it, in [0, 1]
    cfg.INPUT.TARGET_VIEWS = 4  # views per target image, the first is the whole canvas ([SAC]), >= 1
    cfg.INPUT.TARGET_ZOOM = (0.5, 1.0)  # side of the other views relative to the canvas, in (0, 1]
    cfg.INPUT.TARGET_FLIP = 0.5  # probability of flipping a view, in [0, 1]


def _add_noise(cfg: CfgNode) -> None:
    """Jitter, grey and blur of TARGET_*, MIX_* and MASK_* are noise of the student, which the teacher does not see."""
    cfg.INPUT.TARGET_JITTER = 0.4  # strength of colour jitter of the student's views, in [0, 1]; 0 = off
    cfg.INPUT.TARGET_JITTER_PROBABILITY = 0.5  # share of the student's views with it, in [0, 1]
    cfg.INPUT.TARGET_GREY = 0.2  # probability of a grey student view, in [0, 1]
    cfg.INPUT.TARGET_BLUR = (0.1, 2.0)  # range of the Gaussian sigma of the student's views, in pixels
    cfg.INPUT.TARGET_BLUR_PROBABILITY = 1.0  # share of the student's views that are blurred, in [0, 1]
    # strength of the colour jitter, with probability .8, of ClassMix images ([DACS]: .25), >= 0
    cfg.INPUT.CLASS_MIX_JITTER = 0.0
    cfg.INPUT.CLASS_MIX_BLUR_PROBABILITY = 0.0  # share of the ClassMix images that are blurred ([DACS]: .5), in [0, 1]
    # masked image consistency ([MIC]: .7): share of the blocks that are hidden from the student, in [0, 1); 0 = off
    cfg.INPUT.MASK_RATIO = 0.0
    cfg.INPUT.MASK_BLOCK = 0.125  # side of a block as a share of the crop's height (64 px at 512), in (0, 1]


def _add_target_sampling(cfg: CfgNode) -> None:
    """IMPORTANCE_SAMPLING and UNIFORM_* hold for the target images of both branches."""
    cfg.INPUT.IMPORTANCE_SAMPLING = True  # draw target images by predicted class content, where masks were predicted
    cfg.INPUT.UNIFORM_PRIOR = 0.25  # share of uniform sampling beside IMPORTANCE_SAMPLING ([SAC]), in [0, 1]
    # classes that the source never shows, so that nothing predicts them: at their turn any image is drawn ([SAC])
    cfg.INPUT.UNIFORM_CLASSES = []


def _add_target_files(cfg: CfgNode) -> None:
    # index.json of masks that were predicted on DATASETS.TARGET, see RECIPE.MASKS_FROM; "" = none
    cfg.INPUT.PREDICTED_MASKS = ""
    # index.json of a detector's instances there, see RECIPE.DETECTIONS_FROM; "" = none
    cfg.INPUT.DETECTIONS = ""
