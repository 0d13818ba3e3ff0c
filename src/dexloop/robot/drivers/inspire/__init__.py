"""Driver of the Inspire RH56 hands, the BFX among them: EB90 on a serial port, Modbus-RTU and Modbus-TCP."""
