* xbarspice test bench of half_moons, hspice dialect: 2 vectors
* config of the design: 0d7e59fdecef8256dd7d8a942d7abe7099341ec90ef9233c50db9fbd237518ce
* readings: the current into the + terminal of Vws_0 to Vws_7, A
.include "array.sp"
Xdut WL<0> WL<1> WL<2> WL<3> WL<4> WL<5> WL<6> WL<7> BL<0> BL<1> BL<2> BL<3> BL<4> BL<5> BL<6>
+ BL<7> half_moons
.param p_Vout_0=0.1805122153762182
.param p_Vout_1=0.005218548160842769
.param p_Vout_2=0.007953246255039929
.param p_Vout_3=0.19997623282685195
.param p_Vout_4=0.008492229557421342
.param p_Vout_5=0.19226692802701187
.param p_Vout_6=0.013319329786545424
.param p_Vout_7=0.0667385689204169
Vout_0 BL<0> 0 'p_Vout_0'
Vout_1 BL<1> 0 'p_Vout_1'
Vout_2 BL<2> 0 'p_Vout_2'
Vout_3 BL<3> 0 'p_Vout_3'
Vout_4 BL<4> 0 'p_Vout_4'
Vout_5 BL<5> 0 'p_Vout_5'
Vout_6 BL<6> 0 'p_Vout_6'
Vout_7 BL<7> 0 'p_Vout_7'
Vws_0 WL<0> 0 0
Vws_1 WL<1> 0 0
Vws_2 WL<2> 0 0
Vws_3 WL<3> 0 0
Vws_4 WL<4> 0 0
Vws_5 WL<5> 0 0
Vws_6 WL<6> 0 0
Vws_7 WL<7> 0 0
.option ingold=2 numdgt=10
.option absv=2e-15 relv=1e-9 absi=8e-16 reli=1e-9
.data vectors p_Vout_0 p_Vout_1 p_Vout_2 p_Vout_3 p_Vout_4 p_Vout_5 p_Vout_6 p_Vout_7
0.1805122153762182 0.005218548160842769 0.007953246255039929 0.19997623282685195
+ 0.008492229557421342 0.19226692802701187 0.013319329786545424 0.0667385689204169
0.03835912394624576 0.1797844437369608 0.000357201716787819 0.01694077064022091
+ 9.29455460738008e-05 0.02564987920381495 0.14389492388643899 0.19999996630473424
.enddata
.dc data=vectors
.print dc I(Vout_0) I(Vout_1) I(Vout_2) I(Vout_3) I(Vout_4) I(Vout_5) I(Vout_6) I(Vout_7)
.print dc I(Vws_0) I(Vws_1) I(Vws_2) I(Vws_3) I(Vws_4) I(Vws_5) I(Vws_6) I(Vws_7)
.end
