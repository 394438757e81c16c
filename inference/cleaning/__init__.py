"""Burned-in text: found, masked and checked, so that what an ultrasound shows of a person is not stored."""
