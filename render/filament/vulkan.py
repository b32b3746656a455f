"""Asks Vulkan's loader for devices, because Filament ends the process where there is none."""

import ctypes
import ctypes.util

from opendactyl.core.errors import InputError

REMEDY = "apt-get install mesa-vulkan-drivers, or use the classic renderer"
_SUCCESS = 0
_CREATE_INSTANCE = 1
"""The structure type of `_InstanceInfo`."""


class _InstanceInfo(ctypes.Structure):
    """VkInstanceCreateInfo; everything but its type may be zero."""

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
    """The number of Vulkan devices, a software rasteriser among them; at least 1.

    Raises:
        InputError: there is no Vulkan loader, no driver or no device; says which.
    """
    name = ctypes.util.find_library("vulkan")
    if name is None:
        raise InputError(f"no Vulkan loader (libvulkan1) here: {REMEDY}")
    vulkan = ctypes.CDLL(name)
    instance, info = ctypes.c_void_p(), _InstanceInfo(type=_CREATE_INSTANCE)
    if vulkan.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance)) != _SUCCESS:
        raise InputError(f"no Vulkan driver works here: {REMEDY}")
    count = ctypes.c_uint32()
    result = vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    vulkan.vkDestroyInstance(instance, None)
    if result != _SUCCESS or count.value == 0:
        raise InputError(f"Vulkan finds no device here: {REMEDY}")
    return count.value
