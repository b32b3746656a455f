"""The objects a hand can hold: their description as data, and the ones that ship."""
