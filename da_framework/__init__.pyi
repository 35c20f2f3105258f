# rendered by scripts/render_docs.py: what da_framework.__getattr__ gives
from da_framework.core.batch import Batch as Batch
from da_framework.core.batch import Objective as Objective
from da_framework.core.batch import Outputs as Outputs
from da_framework.core.batch import Samples as Samples
from da_framework.core.batch import Task as Task
from da_framework.core.batch import Term as Term
from da_framework.datasets.datamodule import Domains as Domains
from da_framework.estimator import Estimator as Estimator
from da_framework.estimator import validator_scorer as validator_scorer
from da_framework.methods.aad import AaD as AaD
from da_framework.methods.adabn import AdaBN as AdaBN
from da_framework.methods.adda import ADDA as ADDA
from da_framework.methods.afn import AFN as AFN
from da_framework.methods.artl import ARTL as ARTL
from da_framework.methods.base import Method as Method
from da_framework.methods.bnm import BNM as BNM
from da_framework.methods.bsp import BSP as BSP
from da_framework.methods.bss import BSS as BSS
from da_framework.methods.can import CAN as CAN
from da_framework.methods.ccsa import CCSA as CCSA
from da_framework.methods.cdan import CDAN as CDAN
from da_framework.methods.cdann_between_sources import CDANNBetweenSources as CDANNBetweenSources
from da_framework.methods.cmd import CMD as CMD
from da_framework.methods.co_tuning import CoTuning as CoTuning
from da_framework.methods.control import Control as Control
from da_framework.methods.coral import CORAL as CORAL
from da_framework.methods.coral_between_sources import CORALBetweenSources as CORALBetweenSources
from da_framework.methods.dann import DANN as DANN
from da_framework.methods.dann_between_sources import DANNBetweenSources as DANNBetweenSources
from da_framework.methods.deep_coral import DeepCORAL as DeepCORAL
from da_framework.methods.deep_jdot import DeepJDOT as DeepJDOT
from da_framework.methods.delta import DELTA as DELTA
from da_framework.methods.distillation import Distillation as Distillation
from da_framework.methods.dsan import DSAN as DSAN
from da_framework.methods.dsne import DSNE as DSNE
from da_framework.methods.easy_tl import EasyTL as EasyTL
from da_framework.methods.entropy_minimization import EntropyMinimization as EntropyMinimization
from da_framework.methods.fine_tuning import FineTuning as FineTuning
from da_framework.methods.fishr import Fishr as Fishr
from da_framework.methods.fixmatch import FixMatch as FixMatch
from da_framework.methods.gfk import GFK as GFK
from da_framework.methods.group_dro import GroupDRO as GroupDRO
from da_framework.methods.importance_weighting import ImportanceWeighting as ImportanceWeighting
from da_framework.methods.information_maximization import (
    InformationMaximization as InformationMaximization,
)
from da_framework.methods.irm import IRM as IRM
from da_framework.methods.jan import JAN as JAN
from da_framework.methods.jda import JDA as JDA
from da_framework.methods.jgsa import JGSA as JGSA
from da_framework.methods.joint import Joint as Joint
from da_framework.methods.jpda import JPDA as JPDA
from da_framework.methods.kernel_svm import KernelSVM as KernelSVM
from da_framework.methods.l2_sp import L2SP as L2SP
from da_framework.methods.linear_svm import LinearSVM as LinearSVM
from da_framework.methods.local_structure_clustering import (
    LocalStructureClustering as LocalStructureClustering,
)
from da_framework.methods.lwf import LwF as LwF
from da_framework.methods.m3sda import M3SDA as M3SDA
from da_framework.methods.map_svm import MapSVM as MapSVM
from da_framework.methods.mcc import MCC as MCC
from da_framework.methods.mcd import MCD as MCD
from da_framework.methods.mdan import MDAN as MDAN
from da_framework.methods.mdd import MDD as MDD
from da_framework.methods.mean_teacher import MeanTeacher as MeanTeacher
from da_framework.methods.meda import MEDA as MEDA
from da_framework.methods.mix_style import MixStyle as MixStyle
from da_framework.methods.mixup import Mixup as Mixup
from da_framework.methods.mldg import MLDG as MLDG
from da_framework.methods.mmd import MMD as MMD
from da_framework.methods.mmd_between_sources import MMDBetweenSources as MMDBetweenSources
from da_framework.methods.mme import MME as MME
from da_framework.methods.nearest_neighbor import NearestNeighbor as NearestNeighbor
from da_framework.methods.nrc import NRC as NRC
from da_framework.methods.optimal_transport import OptimalTransport as OptimalTransport
from da_framework.methods.osbp import OSBP as OSBP
from da_framework.methods.pada import PADA as PADA
from da_framework.methods.pca import PCA as PCA
from da_framework.methods.progressive import Progressive as Progressive
from da_framework.methods.pseudo_label import PseudoLabel as PseudoLabel
from da_framework.methods.relational_distillation import (
    RelationalDistillation as RelationalDistillation,
)
from da_framework.methods.rsc import RSC as RSC
from da_framework.methods.shot import SHOT as SHOT
from da_framework.methods.shot_im import SHOTIM as SHOTIM
from da_framework.methods.shot_plus_plus import SHOTPlusPlus as SHOTPlusPlus
from da_framework.methods.shot_rotation import SHOTRotation as SHOTRotation
from da_framework.methods.source_only import SourceOnly as SourceOnly
from da_framework.methods.spectral_decoupling import SpectralDecoupling as SpectralDecoupling
from da_framework.methods.structural_noise import StructuralNoise as StructuralNoise
from da_framework.methods.subspace_alignment import SubspaceAlignment as SubspaceAlignment
from da_framework.methods.swad import SWAD as SWAD
from da_framework.methods.swd import SWD as SWD
from da_framework.methods.target_only import TargetOnly as TargetOnly
from da_framework.methods.tca import TCA as TCA
from da_framework.methods.tradaboost import TrAdaBoost as TrAdaBoost
from da_framework.methods.uan import UAN as UAN
from da_framework.methods.vada import VADA as VADA
from da_framework.methods.vrex import VREx as VREx
from da_framework.methods.wdgrl import WDGRL as WDGRL
from da_framework.networks.network import Network as Network
from da_framework.notebook import fit as fit
from da_framework.notebook import load as load
from da_framework.notebook import prepare as prepare
from da_framework.training.build import Run as Run
from da_framework.training.build import build as build
from da_framework.training.build import compose as compose
from da_framework.training.module import Adaptation as Adaptation
from da_framework.training.prediction import Model as Model

__version__: str

def public_modules() -> dict[str, str]: ...
