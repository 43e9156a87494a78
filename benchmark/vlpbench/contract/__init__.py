"""What every registered method keeps to, and the checks that say so."""
