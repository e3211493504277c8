"""The 113 AugLy fonts that the drip training's texts are set in, in the published order."""

from __future__ import annotations

DRIP_FONTS = tuple(
    """
    Quicksand-Italic SolveigText Titillium-Regular SourceSansPro-Black Titillium-Thin SourceSansPro-Bold
    blackjack Allura-Regular OstrichSans-Medium Titillium-BoldUpright OpenSans-LightItalic
    PlayfairDisplaySC-Bold PlayfairDisplay-Italic Ubuntu-C OstrichSans-Black Elsie-Black
    Titillium-ThinItalic Impact OpenSans-ExtraBoldItalic Titillium-SemiboldUpright Ubuntu-R
    GreatVibes-Regular Ubuntu-RI cac_champagne CaviarDreams LeagueSpartan-Bold SolveigBold-Italic
    Titillium-Light OpenSans-ExtraBold Raleway-MediumItalic SolveigDemiBold-Italic modernpics
    Raleway-ThinItalic OstrichSans-Light infini-italique Ubuntu-L Ubuntu-BI Quicksand-LightItalic
    KaushanScript-Regular Titillium-Semibold berkshireswash-regular MountainsofChristmas
    SourceSansPro-Semibold OpenSans-Light CaviarDreams_BoldItalic heydings_controls SolveigBold
    SourceSansPro-BlackIt Quicksand_Dash OstrichSans-Heavy Raleway-LightItalic Chunkfive
    ElsieSwashCaps-Black PlayfairDisplaySC-Regular symbol-signs OpenSans-Regular SolveigDemiBold
    Raleway-Regular Raleway-ExtraBoldItalic DancingScript-Regular ostrich-regular
    SourceSansPro-ExtraLightIt WCSoldOutABta Kalocsai_Flowers Quicksand-BoldItalic
    Titillium-RegularItalic Lobster_1.3 Windsong OstrichSansRounded-Medium Raleway-SemiBold Ubuntu-M
    infini-romain SourceSansPro-SemiboldIt PlayfairDisplay-Regular SolveigDisplay OpenSans-Bold
    OstrichSans-Bold PlayfairDisplaySC-BoldItalic OpenSans-SemiboldItalic Raleway-Thin Titillium-Black
    SolveigDisplay-Italic PlayfairDisplaySC-BlackItalic SourceSansPro-ExtraLight
    Titillium-SemiboldItalic PlayfairDisplay-BoldItalic ElsieSwashCaps-Regular SourceSansPro-BoldIt
    PlayfairDisplaySC-Italic SolveigText-Italic Titillium-LightItalic PlayfairDisplaySC-Black
    Titillium-LightUpright Ubuntu-B OpenSans-BoldItalic SourceSansPro-Regular Entypo Caviar_Dreams_Bold
    infini-picto CaviarDreams_Italic AlexBrush-Regular Raleway-ExtraLightItalic PlayfairDisplay-Bold
    heydings_icons SirucaPictograms1.1_ Ubuntu-MI Titillium-Bold Titillium-RegularUpright
    Titillium-BoldItalic OpenSans-Semibold SourceSansPro-LightIt Pacifico Ubuntu-LI
    """.split()
)
"""File names without ".ttf"; the order matters, a font is drawn by its index."""
