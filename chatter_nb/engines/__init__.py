"""The engines that make sound, and the models that this process has loaded."""
