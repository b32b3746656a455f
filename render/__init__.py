"""Images from states: appearance randomization, the renderers, contact sheets."""
