"""Check for Vulkan devices, because Filament aborts the process without one."""

import ctypes
import ctypes.util

from opendactyl.core.errors import EnvironmentFailure

REMEDY = "apt-get install libvulkan1 mesa-vulkan-drivers, or use the classic renderer"
_SUCCESS = 0
_CREATE_INSTANCE = 1
"""The structure type of `_InstanceInfo`."""


class _InstanceInfo(ctypes.Structure):
    """VkInstanceCreateInfo; all fields except the type may be zero."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application", ctypes.c_void_p),
        ("layer_count", ctypes.c_uint32),
        ("layers", ctypes.c_void_p),
        ("extension_count", ctypes.c_uint32),
        ("extensions", ctypes.c_void_p),
    )


def count_devices() -> int:
    """The number of Vulkan devices, including software rasterisers; at least 1.

    Raises:
        EnvironmentFailure: there is no Vulkan loader, driver or device.
    """
    name = ctypes.util.find_library("vulkan")
    if name is None:
        raise EnvironmentFailure(f"no Vulkan loader is installed: {REMEDY}")
    try:
        vulkan = ctypes.CDLL(name)
    except OSError as error:
        raise EnvironmentFailure(f"the Vulkan loader is broken ({error}): {REMEDY}") from error
    instance, info = ctypes.c_void_p(), _InstanceInfo(type=_CREATE_INSTANCE)
    if vulkan.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance)) != _SUCCESS:
        raise EnvironmentFailure(f"no Vulkan driver works: {REMEDY}")
    count = ctypes.c_uint32()
    result = vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    vulkan.vkDestroyInstance(instance, None)
    if result != _SUCCESS or count.value == 0:
        raise EnvironmentFailure(f"Vulkan finds no device: {REMEDY}")
    return count.value
