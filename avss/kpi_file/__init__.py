"""The KPI file: what a business measures, how, and on which slices."""
