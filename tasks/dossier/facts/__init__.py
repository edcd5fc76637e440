"""Everything the dossier shows, as one frozen value: the page is a pure function of it.

Every part may be missing. `None` and the empty tuple mean "not known", never "zero": the page says
so instead of guessing. Layers are numbered as in the original model. Ratios are fractions of one
(0.93 is shown as 93 %); retention is good when high, whatever the direction of its KPI.
"""
