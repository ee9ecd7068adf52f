"""Reports: the files of transparency reports that the service has written."""
