"""Methods side by side: the search of their settings, comparisons on one data set, benchmarks over several."""
