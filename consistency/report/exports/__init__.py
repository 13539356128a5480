"""A comparison for other programs: trackers of experiments, records of every_eval_ever, a model card of the Hugging Face Hub.

In reading order: values (a comparison's numbers by name), trackers (a run of a tracker); records; card (the section and its
metadata), badge, front_matter and readme (where they stand in a README). What they say is what the comparison's JSON says.
"""
