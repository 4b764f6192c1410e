"""Environments in the forms that trainers and evaluations take: a module for each, imported where it is used."""
