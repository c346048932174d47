"""Pilots: candidates trained cheaply on the train part alone, so that ``init`` proposes what is known to do well.

``candidates`` says who takes part, ``inner`` cuts the train part, ``run`` trains within a budget, ``choose`` decides by
the rule of one standard error, ``table`` says it, ``propose`` puts the winner into the configuration.
"""
