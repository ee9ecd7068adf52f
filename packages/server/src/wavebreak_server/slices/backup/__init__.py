"""Backup and restore of all tables and files of a service."""
