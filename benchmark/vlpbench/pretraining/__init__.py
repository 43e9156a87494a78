"""Pre-training on MMEngine's Runner: recipe, loader, hooks and the run itself."""
