* xbarspice test bench of network, hspice dialect: 2 vectors
* config of the design: 641e0bb6b9d118ba80912fb48f72ce8b7c7bc93083182a39e109cc2e634b1440
* readings: the current into the + terminal of Vws_6 to Vws_7, A
.include "network.sp"
Xdut WL<0> WL<1> WL<2> WL<3> WL<4> WL<5> WL<6> WL<7> BL<0> BL<1> BL<2> BL<3> BL<4> BL<5> BL<6>
+ BL<7> network
.param p_Vin_0=0.0
.param p_Vin_1=0.0
.param p_Vin_2=0.0
.param p_Vin_3=0.0
.param p_Vin_4=0.0
.param p_Vin_5=0.0
.param p_Vout_0=0.18051221537621825
.param p_Vout_1=0.005218548160842744
.param p_Vout_2=0.007953246255039943
.param p_Vout_3=0.19997623282685195
.param p_Vout_4=0.008492229557421325
.param p_Vout_5=0.19226692802701192
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
0.0 0.0 0.0 0.0 0.0 0.0 0.18051221537621825 0.005218548160842744 0.007953246255039943
+ 0.19997623282685195 0.008492229557421325 0.19226692802701192 0.013319329786545415
+ 0.0667385689204169
0.0 0.0 0.0 0.0 0.0 0.0 0.03835912394624583 0.17978444373696073 0.0003572017167878197
+ 0.016940770640221054 9.294554607380054e-05 0.02564987920381496 0.14389492388643899
+ 0.19999996630473424
.enddata
.dc data=vectors
.print dc I(Vin_0) I(Vin_1) I(Vin_2) I(Vin_3) I(Vin_4) I(Vin_5) I(Vout_0) I(Vout_1)
.print dc I(Vout_2) I(Vout_3) I(Vout_4) I(Vout_5) I(Vout_6) I(Vout_7) I(Vws_6) I(Vws_7)
.end
