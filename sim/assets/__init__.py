"""Files of robot models and objects: lookup, references, conversion, checksums and copies."""
