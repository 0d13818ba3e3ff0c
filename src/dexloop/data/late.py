"""Images that are decoded when somebody looks at them, for readers that often need the numbers alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from dexloop.types import ImageArray


class LateImages(Mapping[str, ImageArray]):
    """One step's images, {camera: (H, W, 3) uint8 RGB}.

    frames: gives {camera: (T + 1, H, W, 3)} of the whole episode when an image is first looked at; it may raise
    DexloopError there, where a video is damaged.
    """

    def __init__(self, cameras: tuple[str, ...], frames: Callable[[], Mapping[str, ImageArray]], step: int) -> None:
        self._cameras = cameras
        self._frames = frames
        self._step = step

    def __getitem__(self, camera: str) -> ImageArray:
        if camera not in self._cameras:
            raise KeyError(camera)
        return self._frames()[camera][self._step]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cameras)

    def __len__(self) -> int:
        return len(self._cameras)
