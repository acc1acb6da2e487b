# Netgen's setup for tests: terminals of a memristor may be exchanged, its area may not differ.
permute default
foreach device [list "-circuit1 reram_cell" "-circuit2 reram_cell"] {
  permute $device 1 2
  property $device tolerance {area_ox 0.01}
}
