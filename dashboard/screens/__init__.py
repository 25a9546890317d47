"""Pages: widgets and their arrangement. What they show is made in `dashboard.views` and `dashboard.chart`."""
