"""Parcels that another party can verify: files of a case, report, bundle, recomputation."""
