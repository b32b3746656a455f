"""MuJoCo's physically based renderer: Filament on Vulkan."""
