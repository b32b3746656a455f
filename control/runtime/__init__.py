"""The control loop of one robot and its interfaces; numpy and onnxruntime only."""
