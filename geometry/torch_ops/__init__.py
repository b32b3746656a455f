"""Geometry in torch, for training and export: operations that ONNX has."""
