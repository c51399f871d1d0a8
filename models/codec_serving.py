class FactorizedLatents: pass
class GaussianLatents: pass
def signatures(*a): pass
