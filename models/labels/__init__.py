"""AI labels: what a picture's file says about being made by AI, and how to say it ourselves.

`read.read_label` answers from the bytes of the file alone, before anything decodes or
re-encodes it; `write.write_label` returns the same picture with a label in its metadata.

How the folder reads: a *walker* per container (`jpeg`, `png`, `webp`, `gif`, `tiff`,
`bmff`) finds the metadata blocks; `exif`, `iim`, `xmp` take a block apart into named
`survey.Field`s; a *family* per kind of mark (`digital_source`, `gb45438`, `diffusion`,
`generators`, `photoshop`, `content_credentials`) turns fields into signals; `registry`
lists the families; `decide` draws the one answer.

Why it is like this (2026-11):
- Own walkers, not Pillow: Pillow decodes lazily but validates eagerly, refuses files that a
  browser shows, and has no bound on metadata work. A walker is a hundred lines.
- The budget counts work, not time (`budget`): the same file gives the same answer on a busy
  machine and on an idle one.
- A trace (settings of an image generator, its name in `Software`) never says more than
  SUSPECTED, and a declaration of the uploader never more than POSSIBLY: the Chinese labelling
  measures, article 6, keep GENERATED for a label in the metadata that says so.
- No label never means "not made by AI". Marks in the pixels (SynthID, stealth PNG, visible
  labels) are not read here.
"""
