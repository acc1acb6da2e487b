"""Mapped networks of older versions are refused with the command that renews them."""

import h5py
import numpy as np
import pytest

import xbarspice as xb
from xbarspice.core import crossbar_file, hdf5
from xbarspice.core.errors import InputError
from xbarspice.deployment import refuse_old


def _as_of_the_first_format(path):
    """Without the hash, as files of xbarspice 0.1.0 were."""
    with h5py.File(path, "r+") as file:
        file.attrs["xbarspice_format"] = 1
    path.write_bytes(path.read_bytes()[hdf5.HEAD :])


@pytest.mark.parametrize("first_format", [False, True])
def test_an_old_mapped_network_is_refused_with_the_command_that_renews_it(tmp_path, first_format):
    path = tmp_path / "m.h5"
    hdf5.write_tree(path, {"G_max": 5e-4}, "mapped network")
    if first_format:
        _as_of_the_first_format(path)
    with pytest.raises(InputError, match=r"`m\.h5`, a mapped network.*: xbarspice map NETWORK"):
        refuse_old(path)


def test_other_files_are_not_taken_for_an_old_mapped_network(tmp_path):
    crossbar_file.save(tmp_path / "c.h5", xb.Crossbar([[1e-4]]))
    np.savez(tmp_path / "n.npz", W=np.ones(1))
    for name in ("c.h5", "n.npz", "none.h5"):
        refuse_old(tmp_path / name)
    assert hdf5.kind_of(tmp_path / "c.h5") == "crossbar"
