"""The planogram: what should stand where, as the camera sees it.

It is a prior and never a filter: a product that stands somewhere else is still recognised and still charged.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.catalog.sku import CatalogError, read_json


@dataclass(frozen=True)
class Facing:
    """One row of equal products, front to back.

    Attributes:
        facing_id: name of the place.
        sku: the SKU that belongs here.
        box_xyxy_px: the front product at full stock, in pixels of the planogram's camera picture.
        depth_count: products in the row at full stock.
        stock_count: products booked for the row when the door opened; None when nobody counts.
    """

    facing_id: str
    sku: str
    box_xyxy_px: tuple[float, float, float, float]
    depth_count: int
    stock_count: int | None = None


@dataclass(frozen=True)
class Planogram:
    """The facings of a site and the camera they were drawn for.

    Attributes:
        width_px: width of the camera picture.
        height_px: height of the camera picture.
        focal_px: focal length in pixels; None when the camera is not calibrated.
        facings: the places.
        tilt_rad: how far the camera looks down; None when it is not calibrated.
    """

    width_px: int
    height_px: int
    focal_px: float | None
    facings: tuple[Facing, ...]
    tilt_rad: float | None = None

    @staticmethod
    def load(path: Path) -> "Planogram":
        """Read a planogram file.

        Args:
            path: a JSON file with `camera` and `facings`.
        Returns:
            The planogram.
        Raises:
            CatalogError: missing file, not JSON, a facing without `sku` or with a bad box.
        """
        value = read_json(path)
        try:
            camera = value["camera"]
            focal, tilt = camera.get("focal_px"), camera.get("tilt_rad")
            facings = tuple(_facing(row) for row in value["facings"])
            return Planogram(
                width_px=int(camera["width_px"]),
                height_px=int(camera["height_px"]),
                focal_px=float(focal) if focal is not None else None,
                facings=facings,
                tilt_rad=float(tilt) if tilt is not None else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CatalogError(
                f"{path} is not a planogram: {type(error).__name__} {error}",
                hint='expected {"camera": {"width_px", "height_px"}, "facings": [{"id", "sku", "box_xyxy_px"}]}',
            ) from error

    def boxes_for(self, width_px: int, height_px: int) -> NDArray[np.float32]:
        """Boxes of all facings scaled to a picture of another size.

        Args:
            width_px: width of the picture at hand.
            height_px: height of the picture at hand.
        Returns:
            (n, 4) float32 xyxy in pixels of that picture, in the order of `facings`.
        """
        boxes = np.array([facing.box_xyxy_px for facing in self.facings], dtype=np.float32).reshape(-1, 4)
        sx, sy = width_px / self.width_px, height_px / self.height_px
        scale: NDArray[np.float32] = np.array([sx, sy, sx, sy], dtype=np.float32)
        return boxes * scale

    def focal_for(self, width_px: int) -> float | None:
        """Focal length in pixels of a picture of another width.

        Args:
            width_px: width of the picture at hand.
        Returns:
            The focal length, or None when the camera is not calibrated.
        """
        return None if self.focal_px is None else self.focal_px * width_px / self.width_px


def _facing(row: dict[str, Any]) -> Facing:
    x0, y0, x1, y1 = (float(v) for v in row["box_xyxy_px"])
    if not (x1 > x0 and y1 > y0):
        raise ValueError(f"facing {row.get('id')!r} has an empty box {row['box_xyxy_px']}")
    depth_count = int(row.get("depth_count", 1))
    stock = row.get("stock_count")
    return Facing(
        facing_id=str(row["id"]),
        sku=str(row["sku"]),
        box_xyxy_px=(x0, y0, x1, y1),
        depth_count=depth_count,
        stock_count=None if stock is None else int(stock),
    )
