"""`trajgen/Toolbox-v0`: multi-step questions answered with a calculator, dates, units, a search and a database."""
