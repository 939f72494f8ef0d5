"""What runs inside: init, the initramfs around it, and the payload disk."""
