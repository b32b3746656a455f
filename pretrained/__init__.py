"""The bundles and training weights that ship; equal files are links to one of them."""
