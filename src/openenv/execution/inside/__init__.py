"""What runs in other processes: the zygote, keepers, interpreters. They import little."""
