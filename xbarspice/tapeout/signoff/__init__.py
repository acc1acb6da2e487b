"""Sign-off: currents against limits, voltage drop, settling, energy and answers, at all corners."""

from xbarspice.tapeout.signoff.arrays import sign_off_array
from xbarspice.tapeout.signoff.model import answers_at_corners, sign_off
from xbarspice.tapeout.signoff.settling import Settling, settle

__all__ = ["Settling", "answers_at_corners", "settle", "sign_off", "sign_off_array"]
