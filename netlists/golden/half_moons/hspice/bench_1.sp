* xbarspice test bench of half_moons, hspice dialect: 2 vectors
* config of the design: 9039f992b4e4213ef126a97054d75f87c5cca8cc1f0b0cc5d5549e18c4b8c17d
* readings: the current into the + terminal of Vws_6 to Vws_7, A
.include "array.sp"
Xdut WL<0> WL<1> WL<2> WL<3> WL<4> WL<5> WL<6> WL<7> BL<0> BL<1> BL<2> BL<3> BL<4> BL<5> BL<6>
+ BL<7> half_moons
.param p_Vin_0=0.0
.param p_Vin_1=0.0
.param p_Vin_2=0.0
.param p_Vin_3=0.0
.param p_Vin_4=0.0
.param p_Vin_5=0.0
.param p_Vout_0=0.18051221537621825
.param p_Vout_1=0.00521854816084275
.param p_Vout_2=0.007953246255039943
.param p_Vout_3=0.19997623282685195
.param p_Vout_4=0.008492229557421313
.param p_Vout_5=0.19226692802701187
.param p_Vout_6=0.013319329786545415
.param p_Vout_7=0.0667385689204169
Vin_0 WL<0> 0 'p_Vin_0'
Vin_1 WL<1> 0 'p_Vin_1'
Vin_2 WL<2> 0 'p_Vin_2'
Vin_3 WL<3> 0 'p_Vin_3'
Vin_4 WL<4> 0 'p_Vin_4'
Vin_5 WL<5> 0 'p_Vin_5'
Vout_0 BL<0> 0 'p_Vout_0'
Vout_1 BL<1> 0 'p_Vout_1'
Vout_2 BL<2> 0 'p_Vout_2'
Vout_3 BL<3> 0 'p_Vout_3'
Vout_4 BL<4> 0 'p_Vout_4'
Vout_5 BL<5> 0 'p_Vout_5'
Vout_6 BL<6> 0 'p_Vout_6'
Vout_7 BL<7> 0 'p_Vout_7'
Vws_6 WL<6> 0 0
Vws_7 WL<7> 0 0
.option ingold=2 numdgt=10
.option absv=1e-15 relv=1e-9 absi=8e-16 reli=1e-9
.data vectors p_Vin_0 p_Vin_1 p_Vin_2 p_Vin_3 p_Vin_4 p_Vin_5 p_Vout_0 p_Vout_1 p_Vout_2 p_Vout_3
+ p_Vout_4 p_Vout_5 p_Vout_6 p_Vout_7
0.0 0.0 0.0 0.0 0.0 0.0 0.18051221537621825 0.00521854816084275 0.007953246255039943
+ 0.19997623282685195 0.008492229557421313 0.19226692802701187 0.013319329786545415
+ 0.0667385689204169
0.0 0.0 0.0 0.0 0.0 0.0 0.0383591239462458 0.1797844437369608 0.00035720171678781934
+ 0.016940770640221012 9.29455460738004e-05 0.025649879203814948 0.143894923886439
+ 0.19999996630473424
.enddata
.dc data=vectors
.print dc I(Vin_0) I(Vin_1) I(Vin_2) I(Vin_3) I(Vin_4) I(Vin_5) I(Vout_0) I(Vout_1)
.print dc I(Vout_2) I(Vout_3) I(Vout_4) I(Vout_5) I(Vout_6) I(Vout_7) I(Vws_6) I(Vws_7)
.end
