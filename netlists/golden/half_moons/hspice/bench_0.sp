* xbarspice test bench of half_moons, hspice dialect: 2 vectors
* config of the design: 0d7e59fdecef8256dd7d8a942d7abe7099341ec90ef9233c50db9fbd237518ce
* readings: the current into the + terminal of Vbs_0 to Vbs_7, A
.include "array.sp"
Xdut WL<0> WL<1> WL<2> WL<3> WL<4> WL<5> WL<6> WL<7> BL<0> BL<1> BL<2> BL<3> BL<4> BL<5> BL<6>
+ BL<7> half_moons
.param p_Vin_0=0.05
.param p_Vin_1=-0.05
.param p_Vin_2=0.1
.param p_Vin_3=-0.1
.param p_Vin_4=0.09218629134470281
.param p_Vin_5=-0.09218629134470281
.param p_Vin_6=0.0
.param p_Vin_7=0.0
Vin_0 WL<0> 0 'p_Vin_0'
Vin_1 WL<1> 0 'p_Vin_1'
Vin_2 WL<2> 0 'p_Vin_2'
Vin_3 WL<3> 0 'p_Vin_3'
Vin_4 WL<4> 0 'p_Vin_4'
Vin_5 WL<5> 0 'p_Vin_5'
Vin_6 WL<6> 0 'p_Vin_6'
Vin_7 WL<7> 0 'p_Vin_7'
Vbs_0 BL<0> 0 0
Vbs_1 BL<1> 0 0
Vbs_2 BL<2> 0 0
Vbs_3 BL<3> 0 0
Vbs_4 BL<4> 0 0
Vbs_5 BL<5> 0 0
Vbs_6 BL<6> 0 0
Vbs_7 BL<7> 0 0
.option ingold=2 numdgt=10
.option absv=1.5e-15 relv=1e-9 absi=6e-16 reli=1e-9
.data vectors p_Vin_0 p_Vin_1 p_Vin_2 p_Vin_3 p_Vin_4 p_Vin_5 p_Vin_6 p_Vin_7
0.05 -0.05 0.1 -0.1 0.09218629134470281 -0.09218629134470281 0.0 0.0
0.15000000000000002 -0.15000000000000002 0.025 -0.025 0.09218629134470281 -0.09218629134470281 0.0
+ 0.0
.enddata
.dc data=vectors
.print dc I(Vin_0) I(Vin_1) I(Vin_2) I(Vin_3) I(Vin_4) I(Vin_5) I(Vin_6) I(Vin_7)
.print dc I(Vbs_0) I(Vbs_1) I(Vbs_2) I(Vbs_3) I(Vbs_4) I(Vbs_5) I(Vbs_6) I(Vbs_7)
.end
