"""A run as others read it: gate and formats are pure, `output` writes them."""
