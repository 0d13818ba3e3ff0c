"""Drivers of cameras: any UVC camera (the ZED 2 too) and the RealSense family.

Checked against simulated devices, through the libraries that read the real ones (OpenCV's V4L2 and FFmpeg readers,
the RealSense SDK's pipeline), not yet against cameras.
"""

from dexloop.robot.drivers.cameras.camera import LiveCamera, Timing
from dexloop.robot.drivers.cameras.picture import View, window
from dexloop.robot.drivers.cameras.pinhole import Intrinsics
from dexloop.robot.drivers.cameras.realsense import RealSenseConfig, open_realsense
from dexloop.robot.drivers.cameras.uvc import UvcConfig, open_uvc, zed2

__all__ = [
    "Intrinsics",
    "LiveCamera",
    "RealSenseConfig",
    "Timing",
    "UvcConfig",
    "View",
    "open_realsense",
    "open_uvc",
    "window",
    "zed2",
]
