"""Our own trained models: a checked folder with `model.onnx` and `card.json`."""

from fleetsight.accel.importing.trial import trial_image
from fleetsight.accel.portable import PortableModel
from fleetsight.accel.preprocess import Preprocessor
from fleetsight.accel.session import Arrays
from fleetsight.accel.sources.source import Source
from fleetsight.vision.image import Image


def portable_source(model: PortableModel) -> Source:
    """Make a source of a portable model.

    Args:
        model: the checked model.

    Returns:
        the source; its pictures are prepared as the card says.
    """
    card = model.card

    def prepare(image: Image) -> Arrays:
        return (Preprocessor(card, smooth=card.task == "embed").prepare(image)[0],)

    return Source(
        name=model.name,
        graph=lambda: model.graph,
        module=None,
        example=prepare(trial_image(card)),
        weights_sha256=card.sha256,
        licence=card.licence,
        lineage={**card.lineage, "ONNX metadata": dict(model.facts.metadata)},
        model_kind="cnn",
        card=card,
        answer="dense" if card.task == "detect" else "vector",
        prepare=prepare,
    )
