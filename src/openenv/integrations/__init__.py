"""Environments in the forms that trainers want: a file for each library, which is imported where it is used."""
