* xbarspice design half_moons, hspice dialect, hierarchical
* version: 0.1.0
* config: 0d7e59fdecef8256dd7d8a942d7abe7099341ec90ef9233c50db9fbd237518ce
* form: subcircuit
* device: sinh_tio2 b=2.71689828 V_read=0.2
* tile 0: 8 word lines x 8 bit lines, G sha256 e41f6cc18cf341c5e591e106ce1f0037720fd8c6f6f793d89a048a8dec60145a
* tile 0: R_wl=1.0 R_bl=1.0 R_driver=3.25 R_sense=3.25
* pins: word lines from the top (WL 0 first), then bit lines from the left (BL 0 first)
.subckt half_moons__sinh_tio2 p n xb_g=0.0001
.param xb_b=2.71689828
.param xb_k=0.3505591994397548
G1 p n cur='xb_g*xb_k*sinh(xb_b*v(p,n))'
.ends half_moons__sinh_tio2

.subckt half_moons__row_0 W B<0> B<1> B<2> B<3> B<4> B<5> B<6> B<7>
Rw_0_0 W w_0_1 1.0
Rw_0_1 w_0_1 w_0_2 1.0
Rw_0_2 w_0_2 w_0_3 1.0
Rw_0_3 w_0_3 w_0_4 1.0
Rw_0_4 w_0_4 w_0_5 1.0
Rw_0_5 w_0_5 w_0_6 1.0
Rw_0_6 w_0_6 w_0_7 1.0
Xd_0_0 W B<0> half_moons__sinh_tio2 xb_g=0.0001
Xd_0_1 w_0_1 B<1> half_moons__sinh_tio2 xb_g=0.00033515241802839827
Xd_0_2 w_0_2 B<2> half_moons__sinh_tio2 xb_g=0.0001
Xd_0_3 w_0_3 B<3> half_moons__sinh_tio2 xb_g=0.0001
Xd_0_4 w_0_4 B<4> half_moons__sinh_tio2 xb_g=0.0001
Xd_0_5 w_0_5 B<5> half_moons__sinh_tio2 xb_g=0.0001
Xd_0_6 w_0_6 B<6> half_moons__sinh_tio2 xb_g=0.00015047254472419513
Xd_0_7 w_0_7 B<7> half_moons__sinh_tio2 xb_g=0.0005
.ends half_moons__row_0

.subckt half_moons__row_1 W B<0> B<1> B<2> B<3> B<4> B<5> B<6> B<7>
Rw_1_0 W w_1_1 1.0
Rw_1_1 w_1_1 w_1_2 1.0
Rw_1_2 w_1_2 w_1_3 1.0
Rw_1_3 w_1_3 w_1_4 1.0
Rw_1_4 w_1_4 w_1_5 1.0
Rw_1_5 w_1_5 w_1_6 1.0
Rw_1_6 w_1_6 w_1_7 1.0
Xd_1_0 W B<0> half_moons__sinh_tio2 xb_g=0.00025333830894291187
Xd_1_1 w_1_1 B<1> half_moons__sinh_tio2 xb_g=0.0001
Xd_1_2 w_1_2 B<2> half_moons__sinh_tio2 xb_g=0.0001428216799441697
Xd_1_3 w_1_3 B<3> half_moons__sinh_tio2 xb_g=0.0003999107381890493
Xd_1_4 w_1_4 B<4> half_moons__sinh_tio2 xb_g=0.00015858512471762857
Xd_1_5 w_1_5 B<5> half_moons__sinh_tio2 xb_g=0.00019085982254332461
Xd_1_6 w_1_6 B<6> half_moons__sinh_tio2 xb_g=0.0001
Xd_1_7 w_1_7 B<7> half_moons__sinh_tio2 xb_g=0.0001
.ends half_moons__row_1

.subckt half_moons__row_2 W B<0> B<1> B<2> B<3> B<4> B<5> B<6> B<7>
Rw_2_0 W w_2_1 1.0
Rw_2_1 w_2_1 w_2_2 1.0
Rw_2_2 w_2_2 w_2_3 1.0
Rw_2_3 w_2_3 w_2_4 1.0
Rw_2_4 w_2_4 w_2_5 1.0
Rw_2_5 w_2_5 w_2_6 1.0
Rw_2_6 w_2_6 w_2_7 1.0
Xd_2_0 W B<0> half_moons__sinh_tio2 xb_g=0.0001
Xd_2_1 w_2_1 B<1> half_moons__sinh_tio2 xb_g=0.00018338694961131307
Xd_2_2 w_2_2 B<2> half_moons__sinh_tio2 xb_g=0.00016959361464651064
Xd_2_3 w_2_3 B<3> half_moons__sinh_tio2 xb_g=0.00015880064667455184
Xd_2_4 w_2_4 B<4> half_moons__sinh_tio2 xb_g=0.00020611380390875763
Xd_2_5 w_2_5 B<5> half_moons__sinh_tio2 xb_g=0.00018534227265901742
Xd_2_6 w_2_6 B<6> half_moons__sinh_tio2 xb_g=0.0001
Xd_2_7 w_2_7 B<7> half_moons__sinh_tio2 xb_g=0.0001
.ends half_moons__row_2

.subckt half_moons__row_3 W B<0> B<1> B<2> B<3> B<4> B<5> B<6> B<7>
Rw_3_0 W w_3_1 1.0
Rw_3_1 w_3_1 w_3_2 1.0
Rw_3_2 w_3_2 w_3_3 1.0
Rw_3_3 w_3_3 w_3_4 1.0
Rw_3_4 w_3_4 w_3_5 1.0
Rw_3_5 w_3_5 w_3_6 1.0
Rw_3_6 w_3_6 w_3_7 1.0
Xd_3_0 W B<0> half_moons__sinh_tio2 xb_g=0.0001597552467578103
Xd_3_1 w_3_1 B<1> half_moons__sinh_tio2 xb_g=0.0001
Xd_3_2 w_3_2 B<2> half_moons__sinh_tio2 xb_g=0.0001
Xd_3_3 w_3_3 B<3> half_moons__sinh_tio2 xb_g=0.0001
Xd_3_4 w_3_4 B<4> half_moons__sinh_tio2 xb_g=0.0001
Xd_3_5 w_3_5 B<5> half_moons__sinh_tio2 xb_g=0.0001
Xd_3_6 w_3_6 B<6> half_moons__sinh_tio2 xb_g=0.00017742781826405034
Xd_3_7 w_3_7 B<7> half_moons__sinh_tio2 xb_g=0.00022393538248831
.ends half_moons__row_3

.subckt half_moons__row_4 W B<0> B<1> B<2> B<3> B<4> B<5> B<6> B<7>
Rw_4_0 W w_4_1 1.0
Rw_4_1 w_4_1 w_4_2 1.0
Rw_4_2 w_4_2 w_4_3 1.0
Rw_4_3 w_4_3 w_4_4 1.0
Rw_4_4 w_4_4 w_4_5 1.0
Rw_4_5 w_4_5 w_4_6 1.0
Rw_4_6 w_4_6 w_4_7 1.0
Xd_4_0 W B<0> half_moons__sinh_tio2 xb_g=0.000321703468056373
Xd_4_1 w_4_1 B<1> half_moons__sinh_tio2 xb_g=0.0001
Xd_4_2 w_4_2 B<2> half_moons__sinh_tio2 xb_g=0.0001
Xd_4_3 w_4_3 B<3> half_moons__sinh_tio2 xb_g=0.0005
Xd_4_4 w_4_4 B<4> half_moons__sinh_tio2 xb_g=0.0001
Xd_4_5 w_4_5 B<5> half_moons__sinh_tio2 xb_g=0.00016344072389636125
Xd_4_6 w_4_6 B<6> half_moons__sinh_tio2 xb_g=0.0001
Xd_4_7 w_4_7 B<7> half_moons__sinh_tio2 xb_g=0.0001
.ends half_moons__row_4

.subckt half_moons__row_5 W B<0> B<1> B<2> B<3> B<4> B<5> B<6> B<7>
Rw_5_0 W w_5_1 1.0
Rw_5_1 w_5_1 w_5_2 1.0
Rw_5_2 w_5_2 w_5_3 1.0
Rw_5_3 w_5_3 w_5_4 1.0
Rw_5_4 w_5_4 w_5_5 1.0
Rw_5_5 w_5_5 w_5_6 1.0
Rw_5_6 w_5_6 w_5_7 1.0
Xd_5_0 W B<0> half_moons__sinh_tio2 xb_g=0.0001
Xd_5_1 w_5_1 B<1> half_moons__sinh_tio2 xb_g=0.000437503990756535
Xd_5_2 w_5_2 B<2> half_moons__sinh_tio2 xb_g=0.0002585482415626945
Xd_5_3 w_5_3 B<3> half_moons__sinh_tio2 xb_g=0.0001
Xd_5_4 w_5_4 B<4> half_moons__sinh_tio2 xb_g=0.00028769584804237805
Xd_5_5 w_5_5 B<5> half_moons__sinh_tio2 xb_g=0.0001
Xd_5_6 w_5_6 B<6> half_moons__sinh_tio2 xb_g=0.00013082374071659127
Xd_5_7 w_5_7 B<7> half_moons__sinh_tio2 xb_g=0.0002026676874286281
.ends half_moons__row_5

.subckt half_moons__row_6 W B<0> B<1> B<2> B<3> B<4> B<5> B<6> B<7>
Rw_6_0 W w_6_1 1.0
Rw_6_1 w_6_1 w_6_2 1.0
Rw_6_2 w_6_2 w_6_3 1.0
Rw_6_3 w_6_3 w_6_4 1.0
Rw_6_4 w_6_4 w_6_5 1.0
Rw_6_5 w_6_5 w_6_6 1.0
Rw_6_6 w_6_6 w_6_7 1.0
Xd_6_0 W B<0> half_moons__sinh_tio2 xb_g=0.0003218057329534113
Xd_6_1 w_6_1 B<1> half_moons__sinh_tio2 xb_g=0.0001
Xd_6_2 w_6_2 B<2> half_moons__sinh_tio2 xb_g=0.0001
Xd_6_3 w_6_3 B<3> half_moons__sinh_tio2 xb_g=0.0001
Xd_6_4 w_6_4 B<4> half_moons__sinh_tio2 xb_g=0.0001
Xd_6_5 w_6_5 B<5> half_moons__sinh_tio2 xb_g=0.0001
Xd_6_6 w_6_6 B<6> half_moons__sinh_tio2 xb_g=0.00020274597035684067
Xd_6_7 w_6_7 B<7> half_moons__sinh_tio2 xb_g=0.0005
.ends half_moons__row_6

.subckt half_moons__row_7 W B<0> B<1> B<2> B<3> B<4> B<5> B<6> B<7>
Rw_7_0 W w_7_1 1.0
Rw_7_1 w_7_1 w_7_2 1.0
Rw_7_2 w_7_2 w_7_3 1.0
Rw_7_3 w_7_3 w_7_4 1.0
Rw_7_4 w_7_4 w_7_5 1.0
Rw_7_5 w_7_5 w_7_6 1.0
Rw_7_6 w_7_6 w_7_7 1.0
Xd_7_0 W B<0> half_moons__sinh_tio2 xb_g=0.0001
Xd_7_1 w_7_1 B<1> half_moons__sinh_tio2 xb_g=0.00042054412982296603
Xd_7_2 w_7_2 B<2> half_moons__sinh_tio2 xb_g=0.0001877513241015292
Xd_7_3 w_7_3 B<3> half_moons__sinh_tio2 xb_g=0.0004775948487665983
Xd_7_4 w_7_4 B<4> half_moons__sinh_tio2 xb_g=0.00023404651806037337
Xd_7_5 w_7_5 B<5> half_moons__sinh_tio2 xb_g=0.00014952702741422998
Xd_7_6 w_7_6 B<6> half_moons__sinh_tio2 xb_g=0.0001
Xd_7_7 w_7_7 B<7> half_moons__sinh_tio2 xb_g=0.0001
.ends half_moons__row_7

.subckt half_moons__array W<0> W<1> W<2> W<3> W<4> W<5> W<6> W<7> B<0> B<1> B<2> B<3> B<4> B<5>
+ B<6> B<7>
Xrow_0 W<0> b_0_0 b_0_1 b_0_2 b_0_3 b_0_4 b_0_5 b_0_6 b_0_7 half_moons__row_0
Xrow_1 W<1> b_1_0 b_1_1 b_1_2 b_1_3 b_1_4 b_1_5 b_1_6 b_1_7 half_moons__row_1
Xrow_2 W<2> b_2_0 b_2_1 b_2_2 b_2_3 b_2_4 b_2_5 b_2_6 b_2_7 half_moons__row_2
Xrow_3 W<3> b_3_0 b_3_1 b_3_2 b_3_3 b_3_4 b_3_5 b_3_6 b_3_7 half_moons__row_3
Xrow_4 W<4> b_4_0 b_4_1 b_4_2 b_4_3 b_4_4 b_4_5 b_4_6 b_4_7 half_moons__row_4
Xrow_5 W<5> b_5_0 b_5_1 b_5_2 b_5_3 b_5_4 b_5_5 b_5_6 b_5_7 half_moons__row_5
Xrow_6 W<6> b_6_0 b_6_1 b_6_2 b_6_3 b_6_4 b_6_5 b_6_6 b_6_7 half_moons__row_6
Xrow_7 W<7> B<0> B<1> B<2> B<3> B<4> B<5> B<6> B<7> half_moons__row_7
Rb_0_0 b_0_0 b_1_0 1.0
Rb_0_1 b_0_1 b_1_1 1.0
Rb_0_2 b_0_2 b_1_2 1.0
Rb_0_3 b_0_3 b_1_3 1.0
Rb_0_4 b_0_4 b_1_4 1.0
Rb_0_5 b_0_5 b_1_5 1.0
Rb_0_6 b_0_6 b_1_6 1.0
Rb_0_7 b_0_7 b_1_7 1.0
Rb_1_0 b_1_0 b_2_0 1.0
Rb_1_1 b_1_1 b_2_1 1.0
Rb_1_2 b_1_2 b_2_2 1.0
Rb_1_3 b_1_3 b_2_3 1.0
Rb_1_4 b_1_4 b_2_4 1.0
Rb_1_5 b_1_5 b_2_5 1.0
Rb_1_6 b_1_6 b_2_6 1.0
Rb_1_7 b_1_7 b_2_7 1.0
Rb_2_0 b_2_0 b_3_0 1.0
Rb_2_1 b_2_1 b_3_1 1.0
Rb_2_2 b_2_2 b_3_2 1.0
Rb_2_3 b_2_3 b_3_3 1.0
Rb_2_4 b_2_4 b_3_4 1.0
Rb_2_5 b_2_5 b_3_5 1.0
Rb_2_6 b_2_6 b_3_6 1.0
Rb_2_7 b_2_7 b_3_7 1.0
Rb_3_0 b_3_0 b_4_0 1.0
Rb_3_1 b_3_1 b_4_1 1.0
Rb_3_2 b_3_2 b_4_2 1.0
Rb_3_3 b_3_3 b_4_3 1.0
Rb_3_4 b_3_4 b_4_4 1.0
Rb_3_5 b_3_5 b_4_5 1.0
Rb_3_6 b_3_6 b_4_6 1.0
Rb_3_7 b_3_7 b_4_7 1.0
Rb_4_0 b_4_0 b_5_0 1.0
Rb_4_1 b_4_1 b_5_1 1.0
Rb_4_2 b_4_2 b_5_2 1.0
Rb_4_3 b_4_3 b_5_3 1.0
Rb_4_4 b_4_4 b_5_4 1.0
Rb_4_5 b_4_5 b_5_5 1.0
Rb_4_6 b_4_6 b_5_6 1.0
Rb_4_7 b_4_7 b_5_7 1.0
Rb_5_0 b_5_0 b_6_0 1.0
Rb_5_1 b_5_1 b_6_1 1.0
Rb_5_2 b_5_2 b_6_2 1.0
Rb_5_3 b_5_3 b_6_3 1.0
Rb_5_4 b_5_4 b_6_4 1.0
Rb_5_5 b_5_5 b_6_5 1.0
Rb_5_6 b_5_6 b_6_6 1.0
Rb_5_7 b_5_7 b_6_7 1.0
Rb_6_0 b_6_0 B<0> 1.0
Rb_6_1 b_6_1 B<1> 1.0
Rb_6_2 b_6_2 B<2> 1.0
Rb_6_3 b_6_3 B<3> 1.0
Rb_6_4 b_6_4 B<4> 1.0
Rb_6_5 b_6_5 B<5> 1.0
Rb_6_6 b_6_6 B<6> 1.0
Rb_6_7 b_6_7 B<7> 1.0
.ends half_moons__array

.subckt half_moons__tile WL<0> WL<1> WL<2> WL<3> WL<4> WL<5> WL<6> WL<7> BL<0> BL<1> BL<2> BL<3>
+ BL<4> BL<5> BL<6> BL<7>
Rwl_0 WL<0> w_0_0 3.25
Rwl_1 WL<1> w_1_0 3.25
Rwl_2 WL<2> w_2_0 3.25
Rwl_3 WL<3> w_3_0 3.25
Rwl_4 WL<4> w_4_0 3.25
Rwl_5 WL<5> w_5_0 3.25
Rwl_6 WL<6> w_6_0 3.25
Rwl_7 WL<7> w_7_0 3.25
Rbb_0 BL<0> b_7_0 3.25
Rbb_1 BL<1> b_7_1 3.25
Rbb_2 BL<2> b_7_2 3.25
Rbb_3 BL<3> b_7_3 3.25
Rbb_4 BL<4> b_7_4 3.25
Rbb_5 BL<5> b_7_5 3.25
Rbb_6 BL<6> b_7_6 3.25
Rbb_7 BL<7> b_7_7 3.25
Xarray w_0_0 w_1_0 w_2_0 w_3_0 w_4_0 w_5_0 w_6_0 w_7_0 b_7_0 b_7_1 b_7_2 b_7_3 b_7_4 b_7_5 b_7_6
+ b_7_7 half_moons__array
.ends half_moons__tile

.subckt half_moons WL<0> WL<1> WL<2> WL<3> WL<4> WL<5> WL<6> WL<7> BL<0> BL<1> BL<2> BL<3> BL<4>
+ BL<5> BL<6> BL<7>
Xtile WL<0> WL<1> WL<2> WL<3> WL<4> WL<5> WL<6> WL<7> BL<0> BL<1> BL<2> BL<3> BL<4> BL<5> BL<6>
+ BL<7> half_moons__tile
.ends half_moons
