"""Tensors on CUDA devices."""

from . import _declarations as d
from ._library import lib


def is_available() -> bool:
    """Does the library take them?"""
    info = d.pcclBuildInfo_t()
    lib.pcclGetBuildInfo(info)
    return bool(info.has_cuda_support)
