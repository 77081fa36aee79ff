"""What each figure shows, a module per family: functions that take numbers and give plotly figures, and never train."""
