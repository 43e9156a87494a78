"""Methods of a hospital; each module in here that registers one is found."""
