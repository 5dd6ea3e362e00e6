"""Rules that teach: each module of this folder holds some, and a new one takes part without being named anywhere."""
