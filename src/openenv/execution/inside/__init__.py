"""What runs in other processes: the zygote, keepers, interpreters. The standard library and `containment`, no more."""
