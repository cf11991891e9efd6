"""Whole meshes in virtual time: nodes crash, lines break, disks fill, clocks err, and no job is lost or applied twice.

Level A drives the pure core alone, hundreds of histories a second; level B drives whole job sides on a
virtual-time event loop. One set of monitors watches both: see `monitor`.
"""
