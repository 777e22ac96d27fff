"""Files that anybody may have written: weights, checkpoints of other projects, training states.

One contract for all of them. Reading a file

* executes nothing from it: pickles are interpreted by an own machine that knows plain data, arrays and tensors, and
  makes an inert ``Placeholder`` of everything else;
* either returns what the file holds, or raises ``InputError`` with one sentence;
* takes time in proportion to the file's size, and at most twice its size plus 256 MiB of memory, whatever lengths,
  counts, nesting, references or compression the file claims;
* returns names and texts as they are: ``printable`` makes them safe to show.
"""

from ls3d.models.untrusted.checkpoint import read_checkpoint
from ls3d.models.untrusted.placeholder import Placeholder
from ls3d.models.untrusted.show import listing, printable

__all__ = ["Placeholder", "listing", "printable", "read_checkpoint"]
