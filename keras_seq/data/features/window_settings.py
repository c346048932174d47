"""What window statistics measure; shared by the layer and its numpy twin, so it imports nothing."""

LAGS = (1, 2, 5, 10, 15, 20, 25, 30)  # steps, of auto- and cross-correlations
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SEGMENTS = 8
THRESHOLDS = (-2.0, 0.0, 2.0)  # in deviations of the window's own channel
MOST_PAIRED = 16  # channels that enter cross-correlations; more would be thousands of columns
RECENT_LAGS = (1, 2, 3, 4, 5, 7, 11, 15, 23)  # steps, of changes up to the last row
GRID = 2.0**-14  # of scaled numbers: far above what float32 sums differ by, far below what a sensor tells
